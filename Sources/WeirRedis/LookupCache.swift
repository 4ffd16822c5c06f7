import NIOCore
import Synchronization
import Weir

/// Caches the answers of lookups for two seconds, including misses. A change takes effect within seconds, and a busy
/// client costs one lookup in two seconds.
///
/// An address may ask for 100 names that don't exist, and 20 more a second. Beyond that, its new names count as unknown
/// without a lookup.
final class LookupCache: Sendable {
    struct Question: Hashable {
        var hash: HashLookup
        var client: String
    }

    private struct Entry {
        var answer: LookupAnswer
        var fresh: NIODeadline
    }

    private struct State {
        var entries: [Question: Entry] = [:]
        var waiting: [Question: PendingAnswer<Result<LookupAnswer, StoreError>>] = [:]
        var asked: UInt64 = 0
    }

    static let freshness = TimeAmount.seconds(2)
    /// How long to wait after a failed lookup, so that requests don't all ask a server that is down.
    static let failureFreshness = TimeAmount.milliseconds(200)
    static let most = 100_000

    private let state = Mutex(State())
    private let misses: Limiter?

    init() {
        misses = (try? Rate(20, perTicks: 1_000_000, burst: 100)).flatMap { try? Limit("lookups", $0) }.map {
            Limiter($0, store: MemoryStore(capacity: 100_000))
        }
    }

    /// How many lookups were sent.
    var asked: UInt64 { state.withLock { $0.asked } }

    enum Step {
        case answered(LookupAnswer)
        case waits(PendingAnswer<Result<LookupAnswer, StoreError>>)
        /// The caller must look it up and call ``finish(_:_:for:at:)``.
        case asks(PendingAnswer<Result<LookupAnswer, StoreError>>)
    }

    /// Forgets answers that have not been asked for in a minute.
    func sweep(at now: NIODeadline) {
        state.withLock { state in
            state.entries = state.entries.filter { now - $0.value.fresh < .minutes(1) }
        }
    }

    func look(up question: Question, for asker: UInt64, at now: NIODeadline) -> Step {
        state.withLock { state in
            let entry = state.entries[question]
            if let entry, entry.fresh > now { return .answered(entry.answer) }
            if let waiting = state.waiting[question] { return .waits(waiting) }
            if entry?.answer.isKnown != true, misses?.peek(String(asker)).remaining == 0 {
                return .answered(.unknown)
            }
            let answer = PendingAnswer<Result<LookupAnswer, StoreError>>()
            state.waiting[question] = answer
            state.asked &+= 1
            return .asks(answer)
        }
    }

    /// Takes a lookup's answer.
    ///
    /// - Parameter found: nil if the lookup failed; the last known answer then stays valid for a moment.
    func finish(_ question: Question, _ found: LookupAnswer?, for asker: UInt64, at now: NIODeadline) {
        if found?.isKnown == false { _ = misses?.attempt(String(asker)) }
        let (waiting, answer) = state.withLock {
            state -> (PendingAnswer<Result<LookupAnswer, StoreError>>?, LookupAnswer) in
            let answer = found ?? state.entries[question]?.answer ?? .unknown
            if state.entries.count >= Self.most {
                state.entries = state.entries.filter { $0.value.fresh > now }
                if state.entries.count >= Self.most { state.entries.remove(at: state.entries.startIndex) }
            }
            state.entries[question] = Entry(
                answer: answer, fresh: now + (found == nil ? Self.failureFreshness : Self.freshness))
            return (state.waiting.removeValue(forKey: question), answer)
        }
        waiting?.complete(.success(answer))
    }
}
