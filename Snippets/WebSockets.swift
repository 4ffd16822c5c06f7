// Limits around and inside WebSockets.

import Hummingbird
import Weir
import WeirHummingbird

/// Stands in for a WebSocket library's stream of messages.
struct Messages: AsyncSequence, AsyncIteratorProtocol {
    mutating func next() async -> String? { nil }
    func makeAsyncIterator() -> Messages { self }
}

// snippet.sockets
let sockets = Limiter(try Limit("sockets", concurrency: 2))
let messages = Limiter(try Limit("messages", .perSecond(10)))

/// Call this in the handler of an upgraded connection.
func handle(_ inbound: Messages, of user: String) async throws {
    // At most two sockets of a user at once. A third one waits five seconds, then throws.
    try await sockets.withPermit(user, timeout: .seconds(5)) {
        for await message in inbound {
            // Slow a client down that sends more than ten messages a second, instead of denying it.
            try await messages.acquire(user)
            print(message)
        }
    }
}
// snippet.end
