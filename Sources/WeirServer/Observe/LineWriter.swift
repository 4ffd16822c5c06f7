import Dispatch
import Foundation
import Synchronization

/// Writes lines to a file descriptor from a thread of its own, so that a slow reader of the log never delays an event
/// loop. When the reader can't keep up, lines are dropped and counted.
package final class LineWriter: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var isWriting = false
        var dropped: UInt64 = 0
    }

    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "weir.log")
    private let descriptor: Int32
    private static let most = 4 << 20
    /// The thread's pause after a write, in microseconds. It wakes once for all lines that arrive meanwhile.
    private static let rest: UInt32 = 5_000

    package init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Lines dropped since the start.
    package var dropped: UInt64 { state.withLock { $0.dropped } }

    /// Writes whole lines, each with its line feed, or none of them.
    package func write(_ lines: some Sequence<UInt8>) {
        let mustStart = state.withLock { state in
            guard state.pending.count < Self.most else {
                state.dropped += 1
                return false
            }
            state.pending += lines
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if mustStart { queue.async { self.drain() } }
    }

    private func drain() {
        while true {
            let bytes = state.withLock { state in
                defer { state.pending = [] }
                state.isWriting = !state.pending.isEmpty
                return state.pending
            }
            if bytes.isEmpty { return }
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
                if written > 0 {
                    rest = rest.dropFirst(written)
                } else if errno == EAGAIN {
                    // Somebody has made the descriptor non-blocking, such as a shell that shares it.
                    usleep(Self.rest)
                } else if errno != EINTR {
                    let lost = rest.count { $0 == UInt8(ascii: "\n") }
                    state.withLock { $0.dropped += UInt64(lost) }
                    break
                }
            }
            usleep(Self.rest)
        }
    }

    /// Waits until everything is written, for at most a second: a log that nobody reads must not keep a process alive.
    package func flush() {
        let written = DispatchSemaphore(value: 0)
        queue.async { written.signal() }
        _ = written.wait(timeout: .now() + 1)
    }
}
