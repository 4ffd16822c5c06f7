import Foundation
import Synchronization
import Weir

/// A store as somebody else would write one for a database: rows of bytes, read and written in one transaction, with
/// nothing but what Weir makes public.
final class TableStore: Store {
    let keyHasher = KeyHasher(sharedSecret: 0x5EED, 0xC0FFEE)
    private let clock: any TickClock
    /// The table. A row goes when its key is as good as unused.
    private let rows = Mutex<[Key: Data]>([:])

    /// The row of a key that has none; nil for none.
    private let template: Data?

    init(clock: any TickClock, template: Data? = nil) {
        self.clock = clock
        self.template = template
    }

    var rowCount: Int { rows.withLock { $0.count } }

    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        let answer = PendingAnswer<DecisionResult>()
        Task { answer.complete(transaction(charges.map(\.key)) { KeyState.decide(charges, on: &$0, at: $1) }) }
        return answer
    }

    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> {
        let answer = PendingAnswer<Result<Bool, StoreError>>()
        Task {
            answer.complete(
                transaction([adjustment.key]) { states, now in
                    states[adjustment.key, default: KeyState()].apply(adjustment, at: now)
                })
        }
        return .pending(answer)
    }

    private func transaction<Value>(
        _ keys: [Key], _ change: (inout [Key: KeyState], Instant) -> Value
    ) -> Result<Value, StoreError> {
        rows.withLock { rows in
            let now = clock.now()
            do {
                var states: [Key: KeyState] = [:]
                for key in keys {
                    guard let row = rows[key] ?? template else { continue }
                    states[key] = try JSONDecoder().decode(KeyState.self, from: row)
                }
                let value = change(&states, now)
                for (key, state) in states {
                    let isForgotten = state.expiry.map { $0 <= now } ?? false
                    rows[key] = isForgotten ? nil : try JSONEncoder().encode(state)
                }
                return .success(value)
            } catch {
                return .failure(StoreError(.unavailable, "the table can't be read: \(error)"))
            }
        }
    }
}
