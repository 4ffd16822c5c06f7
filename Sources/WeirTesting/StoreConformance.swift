public import Weir

/// The contract of ``Store``, as cases to run against any store.
///
/// ```swift
/// @Test(arguments: StoreConformance.cases)
/// func conforms(_ rule: StoreConformance.Case) async throws {
///     try await rule.run(on: MyStore(clock: clock), clock)
/// }
/// ```
///
/// Each case needs an empty store that takes its time from the clock.
public enum StoreConformance {
    /// One rule of the contract.
    public struct Case: Sendable, CustomStringConvertible {
        /// The rule, in a sentence.
        public let description: String
        private let body: @Sendable (Subject) async throws -> Void

        init(_ description: String, _ body: @escaping @Sendable (Subject) async throws -> Void) {
            self.description = description
            self.body = body
        }

        /// Runs the rule on an empty store that takes its time from `clock`.
        ///
        /// - Throws: ``ConformanceError`` when the store breaks the rule, or the store's own error.
        public func run(on store: any Store, _ clock: ManualClock) async throws {
            try await body(Subject(store: store, clock: clock))
        }
    }

    /// A store under test, with shorthands that keep a case's steps to one line each.
    struct Subject: Sendable {
        let store: any Store
        let clock: ManualClock

        func charge(
            _ limit: Limit, _ key: String = "alice", cost: Int64 = 1, shadow: Bool = false, countsDenied: Bool = false,
            isHold: Bool = false, countsHolds: Bool = false
        ) -> Charge {
            let hasher = store.keyHasher
            return Charge(
                limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost,
                isShadow: shadow, countsDenied: countsDenied, isHold: isHold, countsHolds: countsHolds)
        }

        /// A peek that counts what requests under way hold.
        func peek(_ limit: Limit, _ key: String = "alice") async throws -> Decision {
            try await decide(charge(limit, key, cost: 0, countsHolds: true))
        }

        /// A request whose units are held.
        func hold(_ limit: Limit, _ key: String = "alice", cost: Int64) async throws -> (Decision, Charge) {
            let charge = charge(limit, key, cost: cost, isHold: true)
            return (try await decide(charge), charge)
        }

        func decide(_ charge: Charge) async throws -> Decision { try await decide([charge])[0] }

        func decide(_ limit: Limit, _ key: String = "alice", cost: Int64 = 1) async throws -> Decision {
            try await decide(charge(limit, key, cost: cost))
        }

        func decide(_ charges: [Charge]) async throws -> [Decision] { try await store.decide(charges) }

        @discardableResult
        func apply(_ adjustment: Adjustment) async throws -> Bool { try await store.apply(adjustment).value }

        func spend(_ limit: Limit, _ count: Int, _ key: String = "alice") async throws {
            for number in 1...count {
                try expect(try await decide(limit, key).isAllowed, "request \(number) of \(count) is allowed")
            }
        }
    }

    static func expect(_ condition: Bool, _ rule: String) throws {
        guard condition else { throw ConformanceError("broken: \(rule)") }
    }

    static func expect<T: Equatable>(_ found: T, is expected: T, _ what: String) throws {
        guard found == expected else { throw ConformanceError("\(what) is \(found), not \(expected)") }
    }

    static func limits(_ count: Int64 = 10) throws -> [Limit] {
        try Algorithm.allCases.map { algorithm in
            algorithm == .concurrency
                ? try Limit(algorithm.rawValue, concurrency: count)
                : try Limit(algorithm.rawValue, .perMinute(count), algorithm: algorithm, maxWait: .seconds(60))
        }
    }

    static let second: Timestamp = 1_000_000
}
