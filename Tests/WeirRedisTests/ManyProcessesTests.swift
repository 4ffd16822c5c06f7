import Foundation
import TestSupport
import Testing
import Weir

@testable import WeirRedis

extension Redis {
    /// Each algorithm's promise, with eight processes on one key, judged by the times in the decisions.
    @Suite("Eight processes on one key", .serialized)
    struct ManyProcessesTests {
        static let runs = ProcessInfo.processInfo.environment["WEIR_SLOW"] == nil ? 1 : 20
        static let count: Int64 = 20
        static let period: Timestamp = 250_000

        struct Admitted {
            var time: Timestamp
            var delay: Timestamp
            var heldUntil: Timestamp
        }

        /// - Parameter fakesClocks: whether every other process believes that it is an hour later.
        private func run(_ algorithm: Algorithm, fakesClocks: Bool) async throws -> [Admitted] {
            let folder = try Folder()
            let server = try await RedisServer(folder)
            let probe = packageFolder.appending(path: ".build/debug/StoreProbe").path
            let processes = try (0..<8).map { index in
                let arguments = [server.url, algorithm.rawValue, "\(Self.count)", "\(Self.period)", "600"]
                return fakesClocks && index.isMultiple(of: 2)
                    ? try Program("/usr/bin/faketime", ["-f", "+1h", probe] + arguments, in: folder)
                    : try Program(probe, arguments, in: folder)
            }
            var admitted: [Admitted] = []
            for process in processes {
                let code = try await process.wait()
                try #require(code == 0, "\(process.log)")
                for line in process.log.split(separator: "\n") {
                    let numbers = line.split(separator: " ").compactMap { Timestamp($0) }
                    try #require(numbers.count == 3, "\(line)")
                    admitted.append(Admitted(time: numbers[0], delay: numbers[1], heldUntil: numbers[2]))
                }
            }
            return admitted.sorted { $0.time < $1.time }
        }

        /// The most that lies within any so many ticks: an entry at s no longer counts at s + span.
        private func most(_ times: [Timestamp], within span: Timestamp) -> Int {
            var first = 0
            var most = 0
            for (index, time) in times.enumerated() {
                while times[first] <= time - span { first += 1 }
                most = max(most, index - first + 1)
            }
            return most
        }

        @Test("no key is left without a TTL, or held for ever, by processes that are killed at any moment")
        func killed() async throws {
            let folder = try Folder()
            let server = try await RedisServer(folder)
            let probe = packageFolder.appending(path: ".build/debug/StoreProbe").path
            for _ in 0..<(Self.runs == 1 ? 2 : 20) {
                let processes = try Algorithm.allCases.map { algorithm in
                    try Program(probe, [server.url, algorithm.rawValue, "5", "60000000", "1000000"], in: folder)
                }
                try await until("they are at it") {
                    try server.ask("KEYS", "weir:{*").split(separator: "\n").count >= 5
                }
                for process in processes { process.signal(SIGKILL) }
                for process in processes { _ = try await process.wait() }
                for key in try server.ask("KEYS", "*").split(separator: "\n") {
                    let left = try server.ask("PTTL", String(key))
                    #expect(left != "-1", "\(key) has no TTL")
                    if key.hasPrefix("weir:{") { #expect((Int(left) ?? 0) <= 121_001, "\(key) is kept for \(left) ms") }
                }
                try server.ask("FLUSHALL")
            }
        }

        @Test("each algorithm keeps its promise", arguments: Algorithm.allCases)
        func promises(_ algorithm: Algorithm) async throws {
            for number in 0..<Self.runs {
                // App clocks an hour apart make no difference, for the server's clock decides.
                let admitted = try await run(
                    algorithm, fakesClocks: algorithm != .concurrency && number.isMultiple(of: 2))
                let times = admitted.map(\.time)
                try #require(times.count >= Int(Self.count), "\(times.count) admitted")
                let n = Int(Self.count)
                let period = Self.period
                switch algorithm.kind {
                case .slidingLog: #expect(most(times, within: period) <= n)
                case .fixedWindow:
                    let windows = Dictionary(grouping: times) { $0 / period }
                    #expect(windows.values.allSatisfy { $0.count <= n })
                    // While all eight ask, every window but the first and the last is used up.
                    let whole = windows.keys.sorted().dropFirst().dropLast()
                    if whole.count > 2 { #expect(windows[whole[whole.startIndex + 1]]?.count == n) }
                case .slidingWindow: #expect(most(times, within: period) < 2 * n)
                case .tokenBucket:
                    for (index, start) in times.enumerated() {
                        for (other, end) in times.enumerated().dropFirst(index) {
                            let allowed = Self.count * period + Self.count * (end - start)
                            #expect(Int64(other - index + 1) * period <= allowed)
                        }
                    }
                case .leakyBucket:
                    let slots = admitted.map { $0.time + $0.delay }.sorted()
                    for (slot, next) in zip(slots, slots.dropFirst()) {
                        // Slots are P / n apart, each rounded up to a tick.
                        #expect((next - slot) * Self.count >= period - Self.count)
                    }
                case .concurrency:
                    var events = admitted.map { ($0.time, 1) } + admitted.map { ($0.heldUntil, -1) }
                    events.sort { $0.0 != $1.0 ? $0.0 < $1.0 : $0.1 < $1.1 }
                    var held = 0
                    for (_, change) in events {
                        held += change
                        #expect(held <= n)
                    }
                }
            }
        }
    }
}
