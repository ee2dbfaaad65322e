"""The intermediate representation: what a network says, before anyone says how to compute it."""
