import NIOCore
import Weir

/// The user and the password for a server.
struct Credentials: Sendable {
    var user: String?
    /// Nil for a server that needs no password.
    var password: RedisConfiguration.PasswordProvider?

    /// The longest time to wait for a password.
    private static let patience = TimeAmount.seconds(5)

    /// The command that authenticates a connection; nil for a server that needs no password.
    func command(on loop: any EventLoop) -> EventLoopFuture<RESPCommand?> {
        guard let password else { return loop.makeSucceededFuture(nil) }
        let promise = loop.makePromise(of: RESPCommand?.self)
        let asking = Task {
            do {
                let password = try await password()
                promise.succeed(user.map { RESPCommand("AUTH", $0, password) } ?? RESPCommand("AUTH", password))
            } catch {
                promise.fail(StoreError(.unavailable, "the password for the store can't be had: \(error)"))
            }
        }
        let overdue = loop.scheduleTask(in: Self.patience) {
            // A provider that doesn't hear of it goes on, but nobody waits for it any more.
            asking.cancel()
            promise.fail(StoreError(.unavailable, "the password for the store doesn't come"))
        }
        promise.futureResult.whenComplete { _ in overdue.cancel() }
        return promise.futureResult
    }
}
