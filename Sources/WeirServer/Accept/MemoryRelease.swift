import Dispatch

#if canImport(Glibc)
    import Glibc
#endif

/// Returns memory to the system after many connections have closed. The allocator keeps freed memory that lies between
/// blocks still in use.
struct MemoryRelease {
    /// The largest number of connections since memory was last returned.
    private var peak = 0
    /// The number of connections at the last look.
    private var last = 0

    /// The smallest number of closed connections that makes a release worthwhile.
    static let least = 500

    /// Whether to return memory: fewer than half of the connections are left, and no more are closing.
    ///
    /// - Parameter connections: the number of connections now.
    mutating func isDue(connections: Int) -> Bool {
        peak = max(peak, connections)
        defer { last = connections }
        guard connections >= last, peak - connections >= Self.least, connections < peak / 2 else { return false }
        peak = connections
        return true
    }

    /// Returns freed memory, on its own thread because it takes a millisecond for every few megabytes.
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
