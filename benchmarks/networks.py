"""A framework's namespace and a workload in, its network out.

The engine has PyTorch's names, so that each network is written once, for both: ``torch`` is the
one or the other. JAX's functions of the same networks are in jax_networks.py.
"""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import Any

from kinds import Workload


def build(torch: ModuleType, workload: Workload) -> Any:
    """The network with weights of its own; None where the workload is about a leaf."""
    if workload.leaf:
        return None
    makers = {
        "mlp": _mlp,
        "convnet": _convnet,
        "resnet": _resnet,
        "transformer": _transformer,
        "lstm": _lstm,
        "gan": _gan,
    }
    return makers[workload.family](torch)(**workload.sizes)


def _mlp(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class MLP(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """Linear layers with relu between them."""

        def __init__(self, widths: tuple[int, ...]) -> None:
            super().__init__()
            self.depth = len(widths) - 1
            for at, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
                setattr(self, f"fc{at}", nn.Linear(inputs, outputs))

        def forward(self, x: Any) -> Any:
            """[n, first width] -> [n, classes]."""
            for at in range(1, self.depth):
                x = F.relu(getattr(self, f"fc{at}")(x))
            return getattr(self, f"fc{self.depth}")(x)

    return MLP


def _convnet(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class ConvNet(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """LeNet, in any size: convolution, relu and pooling, then linear layers."""

        def __init__(
            self, channels: Any, kernel: int, image: int, hidden: Any, classes: int
        ) -> None:
            super().__init__()
            pairs = zip((1, *channels), channels, strict=False)
            for at, (inputs, outputs) in enumerate(pairs, 1):
                setattr(self, f"conv{at}", nn.Conv2d(inputs, outputs, kernel))
                image = (image - kernel + 1) // 2
            widths = (channels[-1] * image**2, *hidden, classes)
            self.stages, self.depth = len(channels), len(widths) - 1
            for at, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
                setattr(self, f"fc{at}", nn.Linear(inputs, outputs))

        def forward(self, x: Any) -> Any:
            """[n, 1, image, image] -> [n, classes]."""
            for at in range(1, self.stages + 1):
                x = F.max_pool2d(F.relu(getattr(self, f"conv{at}")(x)), 2)
            x = torch.flatten(x, 1)
            for at in range(1, self.depth):
                x = F.relu(getattr(self, f"fc{at}")(x))
            return getattr(self, f"fc{self.depth}")(x)

    return ConvNet


def _block(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """Two 3x3 convolutions and the way around them."""

        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            stride = 1 if inputs == outputs else 2
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if inputs != outputs:
                turn = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.shortcut = nn.Sequential(turn, nn.BatchNorm2d(outputs))

        def forward(self, x: Any) -> Any:
            """Half the size where the number of channels grows."""
            y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
            return F.relu(y + self.shortcut(x))

    return Block


def _resnet(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional
    block = _block(torch)

    class ResNet(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """A stem, two narrow blocks, a strided one and another wide one, the mean of each map."""

        def __init__(self, widths: tuple[int, int], image: int, classes: int) -> None:
            super().__init__()
            narrow, wide = widths
            self.stem = nn.Conv2d(3, narrow, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(narrow)
            pairs = ((narrow, narrow), (narrow, narrow), (narrow, wide), (wide, wide))
            self.blocks = nn.Sequential(*[block(*pair) for pair in pairs])
            self.fc = nn.Linear(wide, classes)

        def forward(self, x: Any) -> Any:
            """[n, 3, image, image] -> [n, classes]."""
            x = self.blocks(F.relu(self.norm(self.stem(x))))
            return self.fc(x.mean((2, 3)))

    return ResNet


def _transformer(torch: Any) -> Any:
    nn = torch.nn

    class Transformer(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """PyTorch's own encoder over tokens and learned places, each seeing what came before."""

        def __init__(
            self, vocabulary: int, length: int, width: int, heads: int, feed: int, layers: int
        ) -> None:
            super().__init__()
            self.embed = nn.Embedding(vocabulary, width)
            self.place = nn.Parameter(torch.zeros(length, width))
            layer = nn.TransformerEncoderLayer(
                width, heads, feed, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.encoder = nn.TransformerEncoder(
                layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
            )
            self.head = nn.Linear(width, vocabulary)
            hidden = torch.triu(torch.ones(length, length), 1) > 0
            self.register_buffer("mask", hidden, persistent=False)

        def forward(self, x: Any) -> Any:
            """Tokens [n, length] -> scores of each place's next token [n, length, vocabulary]."""
            x = self.embed(x) + self.place
            return self.head(self.encoder(x, mask=self.mask, is_causal=True))

    return Transformer


def _lstm(torch: Any) -> Any:
    nn = torch.nn

    class Recurrent(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """One LSTM layer, its last output classified."""

        def __init__(self, features: int, width: int, length: int, classes: int) -> None:
            super().__init__()
            self.lstm = nn.LSTM(features, width, batch_first=True)
            self.fc = nn.Linear(width, classes)

        def forward(self, x: Any) -> Any:
            """[n, length, features] -> [n, classes]."""
            out, _ = self.lstm(x)
            return self.fc(out[:, -1])

    return Recurrent


def _gan(torch: Any) -> Any:
    nn = torch.nn
    generator, discriminator = _generator(torch), _discriminator(torch)

    class GAN(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """The two networks under one name, so that their weights load together."""

        def __init__(self, latent: int, channels: tuple[int, int, int]) -> None:
            super().__init__()
            self.generator = generator(latent, channels)
            self.discriminator = discriminator(channels)

    return GAN


def _generator(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class Generator(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """Noise, a 4x4 map, and three transposed convolutions to 32x32."""

        def __init__(self, latent: int, channels: tuple[int, int, int]) -> None:
            super().__init__()
            wide, middle, narrow = channels
            self.wide = wide
            self.fc = nn.Linear(latent, wide * 16, bias=False)
            self.norm0 = nn.BatchNorm2d(wide)
            self.up1 = nn.ConvTranspose2d(wide, middle, 4, 2, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(middle)
            self.up2 = nn.ConvTranspose2d(middle, narrow, 4, 2, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(narrow)
            self.up3 = nn.ConvTranspose2d(narrow, 1, 4, 2, 1)

        def forward(self, x: Any) -> Any:
            """[n, latent] -> [n, 1, 32, 32]."""
            x = F.relu(self.norm0(self.fc(x).view(-1, self.wide, 4, 4)))
            x = F.relu(self.norm1(self.up1(x)))
            x = F.relu(self.norm2(self.up2(x)))
            return torch.tanh(self.up3(x))

    return Generator


def _discriminator(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class Discriminator(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """The generator's mirror image: three strided convolutions to one score."""

        def __init__(self, channels: tuple[int, int, int]) -> None:
            super().__init__()
            wide, middle, narrow = channels
            self.down1 = nn.Conv2d(1, narrow, 4, 2, 1)
            self.down2 = nn.Conv2d(narrow, middle, 4, 2, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(middle)
            self.down3 = nn.Conv2d(middle, wide, 4, 2, 1, bias=False)
            self.norm3 = nn.BatchNorm2d(wide)
            self.fc = nn.Linear(wide * 16, 1)

        def forward(self, x: Any) -> Any:
            """[n, 1, 32, 32] -> [n, 1]."""
            x = F.leaky_relu(self.down1(x), 0.2)
            x = F.leaky_relu(self.norm2(self.down2(x)), 0.2)
            x = F.leaky_relu(self.norm3(self.down3(x)), 0.2)
            return self.fc(torch.flatten(x, 1))

    return Discriminator
