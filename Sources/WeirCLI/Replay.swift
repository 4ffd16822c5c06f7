import ArgumentParser
import Foundation
import Synchronization
import Weir
import WeirServer
import WeirHTTP

struct Replay: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Try a policy on a log: see who would have been limited, when, and by which limit.",
        discussion: """
            Requests are decided by the same code as in `weir serve`, at the times in the log. A report goes to standard \
            error. With --decisions, standard output gets one line of JSON for each line of the log.
            """
    )

    @Option(help: "The policy file to try.")
    var policy = "weir.yaml"

    @Option(help: "The log's format: jsonl is one JSON object per line.")
    var format = Format.jsonl

    @Flag(help: "Print each decision as a line of JSON.")
    var decisions = false

    @Argument(help: "The log file, or - for standard input.")
    var log = "-"

    enum Format: String, ExpressibleByArgument, CaseIterable { case jsonl }

    func run() async throws {
        let clock = ReplayClock()
        let loaded: LoadedPolicy
        do {
            loaded = try await LoadedPolicy.load(policy, environment: try await Settings.environment(), clock: clock)
        } catch let error as PolicyError {
            complain(error.description)
            throw policyErrorCode
        }
        for warning in loaded.warnings { complain(warning.description) }
        if log != "-" {
            // `readLine` reads only standard input, so put the file in its place.
            let file = open(log, O_RDONLY)
            guard file >= 0, dup2(file, 0) == 0 else {
                complain("\(log) can't be read")
                throw ExitCode.failure
            }
        }
        var replayer = Replayer(loaded, clock: clock)
        var progress = ReplayProgress()
        while let line = readLine(strippingNewline: true) {
            let answer = try replayer.decide(line)
            if decisions { print(answer) }
            progress.step()
        }
        progress.end()
        complain(replayer.report.description)
    }
}

/// The virtual time of a replay.
final class ReplayClock: TickClock {
    private let time = Atomic<Timestamp>(0)

    func now() -> Timestamp { time.load(ordering: .relaxed) }

    /// Moves to an instant, in microseconds. The clock never goes back: an earlier line is decided at the latest time
    /// so far.
    func advance(to instant: Timestamp) {
        time.store(max(instant, now()), ordering: .relaxed)
    }
}

/// Shows the progress of a long replay if standard error is a terminal.
struct ReplayProgress {
    private let isShown = isatty(2) == 1
    private var lines = 0

    mutating func step() {
        lines += 1
        if isShown, lines.isMultiple(of: 50_000) { write("\r\(lines) lines") }
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

    func end() {
        if isShown, lines >= 50_000 { write("\r\u{1B}[K") }
    }
}

/// Decides the requests of a log, line by line, with a ``RequestLimiter``.
struct Replayer {
    private let loaded: LoadedPolicy
    private let clock: ReplayClock
    private var limiter: RequestLimiter?
    /// A heap of the requests in flight, with the earliest end first. They hold permits until they end.
    private var inFlight: [(end: Timestamp, request: LimitedRequest)] = []
    private var spare: [LimitedRequest] = []
    private(set) var report = ReplayReport()

    init(_ loaded: LoadedPolicy, clock: ReplayClock) {
        self.loaded = loaded
        self.clock = clock
    }

    /// Decides one line. Returns the line of JSON to print.
    ///
    /// - Throws: ``PolicyError`` at the first line, if the policy can't be used.
    mutating func decide(_ text: String) throws -> String {
        let line: ReplayLine
        do {
            line = try ReplayLine(text)
        } catch {
            report.broken += 1
            return "{\"error\": \(ProblemDetails.quote(error.message))}"
        }
        endRequests(before: line.time)
        clock.advance(to: line.time)
        let limiter = try makeLimiter()
        let request = spare.popLast() ?? LimitedRequest(limiter)
        let step = request.begin(line, on: limiter, peer: line.address, tier: line.tier, cost: line.cost)
        let verdict = finish(step, request)
        report.count(line, verdict: verdict, request: request, limiter: limiter, at: clock.now())
        if case .pass(let delay) = verdict {
            let (sum, overflow) = clock.now().addingReportingOverflow(line.duration + delay)
            hold(request, until: overflow ? .max : sum)
        } else {
            spare.append(request)
        }
        return ReplayAnswer(verdict, request, limiter).json
    }

    /// Finishes a decision. A log has no bodies, so a cost from one is its default. Nothing is pending, because the
    /// memory store answers at once.
    private func finish(_ step: LimitedRequest.Step, _ request: LimitedRequest) -> LimitedRequest.Verdict {
        switch step {
        case .verdict(let verdict): verdict
        case .needsBody: finish(request.resume(body: .none), request)
        case .pending, .needsLookup: .pass(delay: 0)
        }
    }

    /// Returns the limiter. It is created at the first line's time, from which warm-up is counted.
    private mutating func makeLimiter() throws -> RequestLimiter {
        if let limiter { return limiter }
        let limiter = try RequestLimiter(
            policy: loaded.policy, store: loaded.policy.makeMemoryStore(clock: clock), verifier: loaded.verifier,
            lookup: NobodyKnown(), clock: clock)
        // A replay has no upstream to ask, so end warm-up as if the upstream were ready.
        for check in limiter.readinessChecks { check.warmUp.finish() }
        self.limiter = limiter
        return limiter
    }

    private mutating func hold(_ request: LimitedRequest, until end: Timestamp) {
        // Sift the request up the heap.
        inFlight.append((end, request))
        var child = inFlight.count - 1
        while child > 0, inFlight[child].end < inFlight[(child - 1) / 2].end {
            inFlight.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Ends the requests that end by `time` or by now, each at its own instant.
    private mutating func endRequests(before time: Timestamp) {
        while let first = inFlight.first, first.end <= max(time, clock.now()) {
            clock.advance(to: first.end)
            first.request.finish(isComplete: false)
            spare.append(first.request)
            inFlight.swapAt(0, inFlight.count - 1)
            inFlight.removeLast()
            var parent = 0
            while true {
                let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < inFlight.count }
                guard let least = children.min(by: { inFlight[$0].end < inFlight[$1].end }),
                    inFlight[least].end < inFlight[parent].end
                else { break }
                inFlight.swapAt(parent, least)
                parent = least
            }
        }
    }
}

/// Knows no client: a replay doesn't ask Redis. A line of the log can name its tier.
private struct NobodyKnown: TierLookup {
    func look(up client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
        .decided(.unknown)
    }
}
