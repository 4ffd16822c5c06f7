import Foundation

/// The standard input, output and error.
enum StandardStreams {
    /// Opens the null device in place of those that are closed (`2>&-`). Otherwise the next file or socket would take
    /// their numbers, and be written to.
    static func openMissing() {
        for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) == -1 {
            // The lowest free number is this one, because all below it are open.
            _ = open("/dev/null", O_RDWR)
        }
    }
}
