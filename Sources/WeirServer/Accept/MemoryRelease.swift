import Dispatch

#if canImport(Glibc)
    import Glibc
#endif

/// Says when many connections have closed, and gives their memory back to the system then: the allocator keeps what is
/// freed between blocks that are still in use.
struct MemoryRelease {
    /// The most connections since memory was last given back.
    private var peak = 0

    /// How many connections must have closed.
    static let least = 500

    /// Whether memory should be given back: fewer than half of the connections are left.
    ///
    /// - Parameter connections: how many there are now.
    mutating func isDue(connections: Int) -> Bool {
        peak = max(peak, connections)
        guard peak - connections >= Self.least, connections < peak / 2 else { return false }
        peak = connections
        return true
    }

    /// Gives freed memory back, on a thread of its own: it takes a millisecond for every few megabytes.
    static func start() {
        #if canImport(Glibc)
            DispatchQueue.global(qos: .utility).async {
                // Swift doesn't import <malloc.h>, and a C library other than glibc has no such function.
                guard let symbol = dlsym(nil, "malloc_trim") else { return }
                let trim = unsafeBitCast(symbol, to: (@convention(c) (Int) -> Int32).self)
                _ = trim(0)
            }
        #endif
    }
}
