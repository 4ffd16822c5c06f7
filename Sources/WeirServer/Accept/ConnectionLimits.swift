import Synchronization
import WeirHTTP

/// Counts connections, in all and by address, and limits both.
final class ConnectionLimits: Sendable {
    private struct State {
        var total = 0
        var byAddress: [IPAddress: Int] = [:]
    }

    private let state = Mutex(State())
    private let most: Int
    private let mostForAddress: Int

    init(most: Int, mostForAddress: Int) {
        self.most = most
        self.mostForAddress = mostForAddress
    }

    var total: Int { state.withLock { $0.total } }

    /// Counts a connection. Returns false when there are too many.
    func admit(_ address: IPAddress, isTrusted: Bool) -> Bool {
        let address = address.masked(ipv6Prefix: 64)
        return state.withLock { state in
            let count = state.byAddress[address, default: 0]
            // A trusted proxy connects for many clients.
            guard state.total < most, isTrusted || count < mostForAddress else { return false }
            state.total += 1
            state.byAddress[address] = count + 1
            return true
        }
    }

    func leave(_ address: IPAddress) {
        let address = address.masked(ipv6Prefix: 64)
        state.withLock { state in
            state.total -= 1
            let count = state.byAddress[address, default: 0] - 1
            state.byAddress[address] = count > 0 ? count : nil
        }
    }
}
