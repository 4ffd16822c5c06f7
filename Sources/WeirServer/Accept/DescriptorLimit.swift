#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The most file descriptors that this process may have open.
enum DescriptorLimit {
    /// The descriptors kept for the admin port, the store, files and the system.
    static let kept = 100
    /// As many as are asked for where the system names no limit.
    private static let highest: rlim_t = 1 << 20

    /// Raises the soft limit to the hard one.
    ///
    /// - Returns: the limit in force.
    static func raise() -> Int {
        var limit = rlimit()
        guard get(&limit) else { return 1024 }
        let wanted = min(limit.rlim_max, highest)
        if limit.rlim_cur < wanted {
            var raised = limit
            raised.rlim_cur = wanted
            if set(&raised) { limit.rlim_cur = wanted }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// The most client connections that `limit` descriptors allow, each with one to the upstream.
    static func mostConnections(with limit: Int) -> Int { max(1, (limit - kept) / 2) }

    #if canImport(Glibc)
        private static func get(_ limit: inout rlimit) -> Bool {
            getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0
        }
        private static func set(_ limit: inout rlimit) -> Bool {
            setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0
        }
    #else
        private static func get(_ limit: inout rlimit) -> Bool { getrlimit(RLIMIT_NOFILE, &limit) == 0 }
        private static func set(_ limit: inout rlimit) -> Bool { setrlimit(RLIMIT_NOFILE, &limit) == 0 }
    #endif
}
