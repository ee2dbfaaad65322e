"""A target triple in, the LLVM text of the launch loop and its worker threads out.

Written by hand rather than built, because the order of a few atomic operations is all there is
to it. One control block, one 128-byte line per word, so that no two words share a cache line:

    generation  counts runs; workers wait for it to change
    finished    workers done with this run; thread 0 waits for it to reach threads - 1
    arrived, epoch   the barrier: the last to arrive clears the one and advances the other
    idle, done_sleepers, barrier_sleepers   how many sleep on the word of that wait
    job         launches, count, threads, spins, stop, allowed, records, caller

A waiter spins up to ``spins`` pauses, then sleeps until its word changes. It announces itself
before it sleeps and the waker looks after it stored, both sequentially consistent: no wake is
lost. Within a run, waits that end in sleep make a thread less patient: beside a busy process two
of our threads may share one CPU, where spinning only keeps the other from arriving.

A kernel that saves power may wake a worker on the CPU of the thread that calls, and leave both
there. The caller therefore forbids its own CPU to the workers whenever it has come to another one
(``caller``): ``allowed`` is the process's set of CPUs (null: leave the workers alone), ``records``
the workers' own, {control, thread, the system's number for it}.
"""

from __future__ import annotations

from codegen.driver_system import FUTEX, SPREAD, USLEEP

LINE = 128
LINES = (
    "generation",
    "idle",
    "arrived",
    "epoch",
    "barrier_sleepers",
    "finished",
    "done_sleepers",
    "job",
)
JOB = ("launches", "count", "threads", "spins", "stop", "allowed", "records", "caller")  # 8 bytes
RECORD = 3  # words of a worker's record
CPUS = 1024  # that a set of CPUs has bits for
IMPATIENT = 16  # the fewest pauses before a sleep
EARLY = 8  # times its limit a worker spins that was woken for a run to come
CONTROL_BYTES = LINE * len(LINES)
SYMBOLS = ("tf_run", "tf_worker", "tf_alert", "tf_stop")


def driver_text(triple: str) -> str:
    """The whole module for a target."""
    x86, linux = triple.startswith("x86_64"), "linux" in triple
    offsets = {name: str(LINE * i) for i, name in enumerate(LINES)}
    offsets |= {name: str(LINE * LINES.index("job") + 8 * i) for i, name in enumerate(JOB)}
    text = _WAIT + _LAUNCH + _RUN + (FUTEX + SPREAD if linux else USLEEP)
    pause = "call void @llvm.x86.sse2.pause()" if x86 else "call void @llvm.aarch64.isb(i32 15)"
    declare = pause.replace("call", "declare").replace("i32 15", "i32 immarg")
    text = text.replace("@@impatient@@", str(IMPATIENT))
    text = text.replace("@@early@@", str(-EARLY if linux else 0))  # elsewhere all sleep is short
    for name, offset in offsets.items():
        text = text.replace(f"@@{name}@@", offset)
    text = text.replace("@@pause@@", pause).replace("@@futex@@", "202" if x86 else "98")
    text = text.replace("@@gettid@@", "186" if x86 else "178")
    return f"{declare}\n{text}"


_WAIT = """
; Spin, then sleep, until *word differs from old; the new value. A wait that ends in sleep halves
; the patience, another doubles it, up to the limit. Who was woken before the word changes has been
; told that it will, and spins on for longer.
define internal i32 @await(ptr %word, i32 %old, ptr %sleepers, ptr %patience,
                           i64 %limit) nounwind {
entry:
  %spins = load i64, ptr %patience, align 8
  br label %look
look:
  %turns = phi i64 [ 0, %entry ], [ %more, %again ], [ %early, %sleep ]
  %slept = phi i1 [ false, %entry ], [ %slept, %again ], [ true, %sleep ]
  %now = load atomic i32, ptr %word acquire, align 4
  %changed = icmp ne i32 %now, %old
  br i1 %changed, label %out, label %busy
busy:
  %more = add i64 %turns, 1
  %tired = icmp sgt i64 %more, %spins
  br i1 %tired, label %sleep, label %again
again:
  @@pause@@
  br label %look
sleep:
  %s1 = atomicrmw add ptr %sleepers, i32 1 seq_cst
  call void @doze(ptr %word, i32 %old)
  %s2 = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  %early = mul i64 %limit, @@early@@
  br label %look
out:
  %half = lshr i64 %spins, 1
  %double = shl i64 %spins, 1
  %small = icmp ult i64 %half, @@impatient@@
  %less = select i1 %small, i64 @@impatient@@, i64 %half
  %grown = select i1 %slept, i64 %less, i64 %double
  %large = icmp ugt i64 %grown, %limit
  %next = select i1 %large, i64 %limit, i64 %grown
  store i64 %next, ptr %patience, align 8
  ret i32 %now
}

; Wake everyone asleep on word, whose new value is already stored.
define internal void @rouse(ptr %word, ptr %sleepers) nounwind {
  %count = load atomic i32, ptr %sleepers seq_cst, align 4
  %any = icmp ne i32 %count, 0
  br i1 %any, label %wake, label %out
wake:
  call void @call_up(ptr %word)
  br label %out
out:
  ret void
}

; Nobody leaves before all have come.
define internal void @barrier(ptr %control, i32 %threads, ptr %patience,
                              i64 %limit) nounwind {
  %arrived = getelementptr i8, ptr %control, i64 @@arrived@@
  %epoch = getelementptr i8, ptr %control, i64 @@epoch@@
  %sleepers = getelementptr i8, ptr %control, i64 @@barrier_sleepers@@
  %before = load atomic i32, ptr %epoch monotonic, align 4
  %others = atomicrmw add ptr %arrived, i32 1 acq_rel
  %here = add i32 %others, 1
  %last = icmp eq i32 %here, %threads
  br i1 %last, label %open, label %wait
open:
  store atomic i32 0, ptr %arrived monotonic, align 4
  %e = atomicrmw add ptr %epoch, i32 1 seq_cst
  call void @rouse(ptr %epoch, ptr %sleepers)
  ret void
wait:
  %w = call i32 @await(ptr %epoch, i32 %before, ptr %sleepers, ptr %patience,
                       i64 %limit)
  ret void
}
"""

_LAUNCH = """
; Run a kernel on units of thread t, whose arguments may be its own.
define internal void @launch(ptr %record, i64 %t, i64 %begin, i64 %end) nounwind {
  %fn = load ptr, ptr %record, align 8
  %args.p = getelementptr i64, ptr %record, i64 1
  %first.args = load ptr, ptr %args.p, align 8
  %apart.p = getelementptr i64, ptr %record, i64 7
  %apart = load i64, ptr %apart.p, align 8
  %own = mul i64 %apart, %t
  %args = getelementptr i8, ptr %first.args, i64 %own
  %dims.p = getelementptr i64, ptr %record, i64 2
  %dims = load ptr, ptr %dims.p, align 8
  call void %fn(ptr %args, ptr %dims, i64 %begin, i64 %end)
  ret void
}

; One thread's walk over the launch list: its share of every kernel, barriers where flagged. A group
; of launches takes turns: each computes a strip before the next strip begins.
define internal void @walk(ptr %control, ptr %launches, i64 %count, i64 %t, i64 %threads,
                           ptr %patience, i64 %limit) nounwind {
entry:
  %t1 = add i64 %t, 1
  %alone = icmp eq i64 %threads, 1
  %threads32 = trunc i64 %threads to i32
  %empty = icmp eq i64 %count, 0
  br i1 %empty, label %out, label %launch
launch:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %record = getelementptr [8 x i64], ptr %launches, i64 %i
  %group.p = getelementptr i64, ptr %record, i64 6
  %group = load i64, ptr %group.p, align 8
  %flags.p = getelementptr i64, ptr %record, i64 4
  %flags = load i64, ptr %flags.p, align 8
  %flag = trunc i64 %flags to i1
  %together = xor i1 %alone, true
  %meet = and i1 %flag, %together
  br i1 %meet, label %sync, label %share
sync:
  call void @barrier(ptr %control, i32 %threads32, ptr %patience, i64 %limit)
  br label %share
share:
  %units.p = getelementptr i64, ptr %record, i64 3
  %units = load i64, ptr %units.p, align 8
  %low = mul i64 %units, %t
  %high = mul i64 %units, %t1
  %begin = udiv i64 %low, %threads
  %end = udiv i64 %high, %threads
  %some = icmp ult i64 %begin, %end
  br i1 %some, label %call, label %next
call:
  %strips.p = getelementptr i64, ptr %record, i64 5
  %strips = load i64, ptr %strips.p, align 8
  %first = mul i64 %begin, %strips
  %last = mul i64 %end, %strips
  %single = icmp eq i64 %group, 1
  br i1 %single, label %whole, label %strip
whole:
  call void @launch(ptr %record, i64 %t, i64 %first, i64 %last)
  br label %next
strip:
  %s = phi i64 [ %first, %call ], [ %s1, %done ]
  %s1 = add i64 %s, 1
  br label %member
member:
  %j = phi i64 [ 0, %strip ], [ %j1, %member ]
  %one = getelementptr [8 x i64], ptr %record, i64 %j
  call void @launch(ptr %one, i64 %t, i64 %s, i64 %s1)
  %j1 = add i64 %j, 1
  %inside = icmp ult i64 %j1, %group
  br i1 %inside, label %member, label %done
done:
  %left = icmp ult i64 %s1, %last
  br i1 %left, label %strip, label %next
next:
  %i1 = add i64 %i, %group
  %again = icmp ult i64 %i1, %count
  br i1 %again, label %launch, label %out
out:
  ret void
}
"""

_RUN = """
; The caller is thread 0: publish the job, do its share, wait for the others.
define void @tf_run(ptr %control, ptr %launches, i64 %count) nounwind {
  %threads.p = getelementptr i8, ptr %control, i64 @@threads@@
  %threads = load i64, ptr %threads.p, align 8
  %limit.p = getelementptr i8, ptr %control, i64 @@spins@@
  %limit = load i64, ptr %limit.p, align 8
  %patience = alloca i64, align 8
  store i64 %limit, ptr %patience, align 8
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %solo, label %publish
solo:
  call void @walk(ptr %control, ptr %launches, i64 %count, i64 0, i64 1,
                  ptr %patience, i64 %limit)
  ret void
publish:
  %launches.p = getelementptr i8, ptr %control, i64 @@launches@@
  store ptr %launches, ptr %launches.p, align 8
  %count.p = getelementptr i8, ptr %control, i64 @@count@@
  store i64 %count, ptr %count.p, align 8
  %finished = getelementptr i8, ptr %control, i64 @@finished@@
  store atomic i32 0, ptr %finished monotonic, align 4
  call void @spread(ptr %control, i64 %threads)
  %generation = getelementptr i8, ptr %control, i64 @@generation@@
  %idle = getelementptr i8, ptr %control, i64 @@idle@@
  %g = atomicrmw add ptr %generation, i32 1 seq_cst
  call void @rouse(ptr %generation, ptr %idle)
  call void @walk(ptr %control, ptr %launches, i64 %count, i64 0, i64 %threads,
                  ptr %patience, i64 %limit)
  %threads32 = trunc i64 %threads to i32
  %workers = sub i32 %threads32, 1
  %sleepers = getelementptr i8, ptr %control, i64 @@done_sleepers@@
  br label %look
look:
  %done = load atomic i32, ptr %finished acquire, align 4
  %all = icmp eq i32 %done, %workers
  br i1 %all, label %out, label %wait
wait:
  %w = call i32 @await(ptr %finished, i32 %done, ptr %sleepers, ptr %patience,
                       i64 %limit)
  br label %look
out:
  ret void
}

; A worker's life. A fresh control block has generation 0.
define ptr @tf_worker(ptr %record) nounwind {
entry:
  %number = call i64 @who()
  %number.p = getelementptr i64, ptr %record, i64 2
  store atomic i64 %number, ptr %number.p monotonic, align 8
  %control = load ptr, ptr %record, align 8
  %t.p = getelementptr i64, ptr %record, i64 1
  %t = load i64, ptr %t.p, align 8
  %generation = getelementptr i8, ptr %control, i64 @@generation@@
  %idle = getelementptr i8, ptr %control, i64 @@idle@@
  %finished = getelementptr i8, ptr %control, i64 @@finished@@
  %sleepers = getelementptr i8, ptr %control, i64 @@done_sleepers@@
  %launches.p = getelementptr i8, ptr %control, i64 @@launches@@
  %count.p = getelementptr i8, ptr %control, i64 @@count@@
  %threads.p = getelementptr i8, ptr %control, i64 @@threads@@
  %limit.p = getelementptr i8, ptr %control, i64 @@spins@@
  %stop.p = getelementptr i8, ptr %control, i64 @@stop@@
  %threads = load i64, ptr %threads.p, align 8
  %limit = load i64, ptr %limit.p, align 8
  %patience = alloca i64, align 8
  %threads32 = trunc i64 %threads to i32
  %workers = sub i32 %threads32, 1
  br label %wait
wait:
  %seen = phi i32 [ 0, %entry ], [ %now, %done ]
  store i64 %limit, ptr %patience, align 8
  %now = call i32 @await(ptr %generation, i32 %seen, ptr %idle, ptr %patience, i64 %limit)
  %stop = load atomic i64, ptr %stop.p acquire, align 8
  %leave = icmp ne i64 %stop, 0
  br i1 %leave, label %out, label %run
run:
  %launches = load ptr, ptr %launches.p, align 8
  %count = load i64, ptr %count.p, align 8
  store i64 %limit, ptr %patience, align 8
  call void @walk(ptr %control, ptr %launches, i64 %count, i64 %t, i64 %threads,
                  ptr %patience, i64 %limit)
  %others = atomicrmw add ptr %finished, i32 1 seq_cst
  %here = add i32 %others, 1
  %last = icmp eq i32 %here, %workers
  br i1 %last, label %tell, label %done
tell:
  call void @rouse(ptr %finished, ptr %sleepers)
  br label %done
done:
  br label %wait
out:
  ret ptr null
}

; Wake the workers for a run that is about to come.
define void @tf_alert(ptr %control) nounwind {
  %generation = getelementptr i8, ptr %control, i64 @@generation@@
  %idle = getelementptr i8, ptr %control, i64 @@idle@@
  call void @rouse(ptr %generation, ptr %idle)
  ret void
}

; Ask every worker to return once its present run is over.
define void @tf_stop(ptr %control) nounwind {
  %stop.p = getelementptr i8, ptr %control, i64 @@stop@@
  %generation = getelementptr i8, ptr %control, i64 @@generation@@
  %idle = getelementptr i8, ptr %control, i64 @@idle@@
  store atomic i64 1, ptr %stop.p release, align 8
  %g = atomicrmw add ptr %generation, i32 1 seq_cst
  call void @rouse(ptr %generation, ptr %idle)
  ret void
}
"""
