import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The file of a Unix socket that this process listens on.
struct UnixSocketFile: Sendable {
    let path: String
    /// Identifies the file, which may have been replaced by the time it is removed.
    private let identity: Identity

    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
    }

    /// - Parameter mode: who may connect.
    init(_ path: String, mode: Int) throws {
        self.path = path
        guard chmod(path, mode_t(mode)) == 0, let identity = Self.identity(of: path) else {
            throw IOError(errnoCode: errno, reason: "chmod")
        }
        self.identity = identity
    }

    /// Removes the file, unless a different process has put its own there.
    func remove() {
        if Self.identity(of: path) == identity { unlink(path) }
    }

    /// Removes a socket that a process left behind when it was killed.
    ///
    /// - Throws: an error if a process listens there, or if the file is no socket.
    static func removeIfAbandoned(_ path: String, _ group: any EventLoopGroup) async throws {
        var info = stat()
        guard lstat(path, &info) == 0 else { return }
        guard info.st_mode & mode_t(S_IFMT) == mode_t(S_IFSOCK) else {
            throw IOError(errnoCode: EEXIST, reason: "the file is not a socket")
        }
        if let channel = try? await ClientBootstrap(group: group).connect(unixDomainSocketPath: path).get() {
            try? await channel.close()
            throw IOError(errnoCode: EADDRINUSE, reason: "another process listens there")
        }
        unlink(path)
    }

    private static func identity(of path: String) -> Identity? {
        var info = stat()
        guard lstat(path, &info) == 0 else { return nil }
        return Identity(device: UInt64(truncatingIfNeeded: info.st_dev), inode: UInt64(info.st_ino))
    }
}
