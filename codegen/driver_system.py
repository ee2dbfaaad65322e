"""What the driver asks of the system, as LLVM text: sleep, wake, and keep off one another's CPUs.

``doze`` sleeps until a word changes or somebody calls, ``call_up`` wakes all who sleep on a word,
``who`` is the system's number for a thread, ``spread`` forbids the caller's CPU to the workers.
"""

FUTEX = """
declare i64 @syscall(i64, ...)

define internal void @doze(ptr %word, i32 %old) nounwind {
  ; FUTEX_WAIT_PRIVATE: returns at once if *word is no longer old
  %r = call i64 (i64, ...) @syscall(i64 @@futex@@, ptr %word, i32 128, i32 %old, ptr null,
                                    ptr null, i32 0)
  ret void
}

define internal void @call_up(ptr %word) nounwind {
  ; FUTEX_WAKE_PRIVATE, everyone
  %r = call i64 (i64, ...) @syscall(i64 @@futex@@, ptr %word, i32 129, i32 2147483647, ptr null,
                                    ptr null, i32 0)
  ret void
}
"""

SPREAD = """
declare i32 @sched_getcpu()
declare i32 @sched_setaffinity(i32, i64, ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define internal i64 @who() nounwind {
  %number = call i64 (i64, ...) @syscall(i64 @@gettid@@)
  ret i64 %number
}

; Workers keep off the CPU of the thread that calls.
define internal void @spread(ptr %control, i64 %threads) nounwind {
entry:
  %allowed.p = getelementptr i8, ptr %control, i64 @@allowed@@
  %allowed = load ptr, ptr %allowed.p, align 8
  %free = icmp eq ptr %allowed, null
  br i1 %free, label %out, label %look
look:
  %caller.p = getelementptr i8, ptr %control, i64 @@caller@@
  %before = load i64, ptr %caller.p, align 8
  %cpu = call i32 @sched_getcpu()
  %here = sext i32 %cpu to i64
  %moved = icmp ne i64 %here, %before
  %known = icmp ult i64 %here, 1024
  %new = and i1 %moved, %known
  br i1 %new, label %mask, label %out
mask:
  %set = alloca [16 x i64], align 8
  call void @llvm.memcpy.p0.p0.i64(ptr %set, ptr %allowed, i64 128, i1 false)
  %index = lshr i64 %here, 6
  %bit = and i64 %here, 63
  %one = shl i64 1, %bit
  %others = xor i64 %one, -1
  %word.p = getelementptr i64, ptr %set, i64 %index
  %word = load i64, ptr %word.p, align 8
  %rest = and i64 %word, %others
  store i64 %rest, ptr %word.p, align 8
  %records.p = getelementptr i8, ptr %control, i64 @@records@@
  %records = load ptr, ptr %records.p, align 8
  br label %worker
worker:
  %t = phi i64 [ 1, %mask ], [ %t1, %next ]
  %all = phi i1 [ true, %mask ], [ %still, %next ]
  %at = sub i64 %t, 1
  %record = getelementptr [3 x i64], ptr %records, i64 %at
  %number.p = getelementptr i64, ptr %record, i64 2
  %number = load atomic i64, ptr %number.p monotonic, align 8
  %started = icmp ne i64 %number, 0
  br i1 %started, label %forbid, label %next
forbid:
  %number32 = trunc i64 %number to i32
  %r = call i32 @sched_setaffinity(i32 %number32, i64 128, ptr %set)
  br label %next
next:
  %still = and i1 %all, %started
  %t1 = add i64 %t, 1
  %more = icmp ult i64 %t1, %threads
  br i1 %more, label %worker, label %done
done:
  %stored = select i1 %still, i64 %here, i64 -1
  store i64 %stored, ptr %caller.p, align 8
  br label %out
out:
  ret void
}
"""

# Systems without futexes look again every 50 microseconds.
USLEEP = """
declare i32 @usleep(i32)

define internal void @doze(ptr %word, i32 %old) nounwind {
  %r = call i32 @usleep(i32 50)
  ret void
}

define internal void @call_up(ptr %word) nounwind {
  ret void
}

define internal i64 @who() nounwind {
  ret i64 0
}

define internal void @spread(ptr %control, i64 %threads) nounwind {
  ret void
}
"""
