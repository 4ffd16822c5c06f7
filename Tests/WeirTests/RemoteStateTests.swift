import Testing
@testable import Weir
import WeirTesting

@Suite("States from a server's answer")
struct RemoteStateTests {
    /// Keeps one key's state, of whichever algorithm.
    private final class OneKey: StateHost {
        struct Place {
            var now: Timestamp
            var sequence: UInt64
        }

        private var state: Any?

        func visit<A: LimitAlgorithm, Visitor: StateVisitor>(
            _ algorithm: A, at place: Place, _ visitor: Visitor
        ) -> Visitor.Output? {
            var current = state as? A.State ?? A.fresh
            algorithm.settle(&current, at: place.now)
            defer { state = current }
            return visitor.visit(algorithm, &current, at: place.now, sequence: place.sequence, held: 0)
        }
    }

    /// Describes a state as a server does before a charge; nil for an algorithm that is missing here.
    private struct Describe: StateVisitor {
        typealias Output = RemoteState?

        let charge: Charge

        var mayCharge: Bool { false }

        func visit<A: LimitAlgorithm>(
            _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
        ) -> RemoteState? {
            switch state {
            case let state as ArrivalTime:
                let (ticks, remainder) = state.scaled.quotientAndRemainder(dividingBy: Int128(state.perTick))
                return .arrival(ticks: ticks, remainder: Int64(remainder))
            case let state as FixedWindow.State: return .fixedWindow(end: state.end, used: state.used)
            case let state as SlidingWindow.State:
                return .slidingWindow(expires: state.expires, current: state.current, previous: state.previous)
            case let state as SlidingLog.State: return describe(state)
            case let state as Concurrency.State: return .permits(held: state.held)
            default: return nil
            }
        }

        private func describe(_ log: SlidingLog.State) -> RemoteState {
            var lacking = log.used + charge.required - charge.numbers.count
            var release: Timestamp = 0
            for entry in log.live where lacking > 0 {
                lacking -= entry.cost
                release = entry.time
            }
            return .log(used: log.used, last: log.live.last?.time ?? 0, release: release)
        }
    }

    @Test("lead to the decisions that memory makes, in every field", arguments: Algorithm.allCases)
    func decidesAsMemory(_ algorithm: Algorithm) throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<500 {
            let count = Int64.random(in: 1...12, using: &random)
            let limit =
                algorithm == .concurrency
                ? try Limit("l", concurrency: count)
                : try Limit(
                    "l", Rate(count, perTicks: 1000, burst: Int64.random(in: 1...12, using: &random)),
                    algorithm: algorithm, maxWait: .microseconds(700))
            let host = OneKey()
            var now: Timestamp = 1_790_000_000_000_000
            for sequence in 1...40 as ClosedRange<UInt64> {
                now += Int64.random(in: 0...400, using: &random)
                let charge = Charge(
                    limit.numbers, key: Key(high: 0, low: 1, partition: 0), cost: .random(in: 0...4, using: &random),
                    required: .random(in: 0...6, using: &random))
                let place = OneKey.Place(now: now, sequence: sequence)
                let described = try #require(host.visit(limit.numbers, at: place, Describe(charge: charge)))
                let remote = try #require(described, "no description of the state of \(algorithm)")
                let passes = Bool.random(using: &random)
                let expected = try #require(
                    host.visit(limit.numbers, at: place, Conclude(charge: charge, passes: passes)))
                let decision = remote.decision(of: charge, at: now, isCharged: passes, sequence: sequence)
                try #require(decision == expected, "seed \(seed), \(limit.numbers), \(charge)")
            }
        }
    }

    @Test("of a different algorithm's shape count as an unused key", arguments: Algorithm.allCases)
    func wrongShape(_ algorithm: Algorithm) throws {
        let limit =
            algorithm == .concurrency
            ? try Limit("l", concurrency: 5)
            : try Limit("l", .perMinute(5), algorithm: algorithm, maxWait: .seconds(60))
        let charge = Charge(limit.numbers, key: Key(high: 0, low: 1, partition: 0), cost: 0)
        let now: Timestamp = 1_790_000_000_000_000
        let unused = try #require(
            OneKey().visit(limit.numbers, at: .init(now: now, sequence: 1), Conclude(charge: charge, passes: true)))
        let other =
            algorithm == .fixedWindow ? RemoteState.permits(held: 4) : .fixedWindow(end: now + 1_000_000, used: 4)
        #expect(other.decision(of: charge, at: now, isCharged: false, sequence: 1) == unused)
    }
}
