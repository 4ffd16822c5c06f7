public import Logging
public import ServiceLifecycle

/// A logger that says nothing of what tests do on purpose.
public let quiet: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
}()

/// A server of this process while `body` runs with its port.
///
/// - Parameter make: makes a server that tells its port when it listens.
public func withService(
    _ body: (Int) async throws -> Void, _ make: (@escaping @Sendable (Int) -> Void) throws -> any Service
) async throws {
    let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
    let service = try make { continuation.yield($0) }
    let group = ServiceGroup(services: [service], logger: quiet)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        try await body(await iterator.next() ?? 0)
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}
