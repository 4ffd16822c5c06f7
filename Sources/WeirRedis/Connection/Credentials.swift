import NIOCore
import Weir

/// Who connects to a server.
struct Credentials: Sendable {
    var user: String?
    /// Nil for a server that needs no password.
    var password: RedisConfiguration.PasswordProvider?

    /// The command that authenticates a connection; nil for a server that needs no password.
    func command(on loop: any EventLoop) -> EventLoopFuture<RESPCommand?> {
        guard let password else { return loop.makeSucceededFuture(nil) }
        return loop.makeFutureWithTask {
            do {
                let password = try await password()
                return user.map { RESPCommand("AUTH", $0, password) } ?? RESPCommand("AUTH", password)
            } catch {
                throw StoreError(.unavailable, "the password for the store can't be had: \(error)")
            }
        }
    }
}
