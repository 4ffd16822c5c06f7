#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif
import Synchronization

/// A spin lock, for work that takes tens of nanoseconds. A waiter yields if the lock stays taken, because its holder
/// may have lost the processor.
struct SpinLock: ~Copyable {
    private let locked = Atomic<Bool>(false)

    @inline(__always)
    borrowing func lock() {
        if !locked.exchange(true, ordering: .acquiring) { return }
        lockContended()
    }

    @inline(never)
    private borrowing func lockContended() {
        while true {
            for _ in 0..<64 where !locked.load(ordering: .relaxed) {
                if !locked.exchange(true, ordering: .acquiring) { return }
            }
            sched_yield()
        }
    }

    borrowing func tryLock() -> Bool {
        !locked.exchange(true, ordering: .acquiring)
    }

    @inline(__always)
    borrowing func unlock() {
        locked.store(false, ordering: .releasing)
    }
}
