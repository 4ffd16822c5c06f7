import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The file of a Unix socket that this process listens on. NIO removes it when the socket is closed.
enum UnixSocketFile {
    /// Sets who may connect. Until then, the process's umask says so, which usually allows its own user only.
    static func setMode(_ path: String, _ mode: Int) throws {
        guard chmod(path, mode_t(mode)) == 0 else { throw IOError(errnoCode: errno, reason: "chmod") }
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
}
