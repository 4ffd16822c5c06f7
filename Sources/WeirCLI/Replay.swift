import ArgumentParser
import Foundation
import Synchronization
import Weir
import WeirServer
import WeirHTTP

struct Replay: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Try a policy on a log: who would have been limited, when, by which rule.",
        discussion: """
            The log's requests are decided on a virtual clock by what `weir serve` decides with. With --decisions, one \
            line of JSON for each line of the log goes to standard output; the report goes to standard error.
            """
    )

    @Option(help: "The policy to try.")
    var policy = "weir.yaml"

    @Option(help: "The log's format: jsonl, one JSON object on a line.")
    var format = Format.jsonl

    @Flag(help: "Print each decision as a line of JSON.")
    var decisions = false

    @Argument(help: "The log; - for standard input.")
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
            // `readLine` reads standard input, so a file takes its place.
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

    /// Moves to an instant; a line that goes back in time is decided at the latest time seen.
    func advance(to instant: Timestamp) {
        time.store(max(instant, now()), ordering: .relaxed)
    }
}

/// Says on a terminal how far a long replay has come.
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

/// Takes the lines of a log, one after another, through a ``RequestLimiter``.
struct Replayer {
    private let loaded: LoadedPolicy
    private let clock: ReplayClock
    private var limiter: RequestLimiter?
    /// Requests in flight, by the time at which they end; they hold permits until then.
    private var inFlight: [(end: Timestamp, request: LimitedRequest)] = []
    private var spare: [LimitedRequest] = []
    private(set) var report = ReplayReport()

    init(_ loaded: LoadedPolicy, clock: ReplayClock) {
        self.loaded = loaded
        self.clock = clock
    }

    /// Decides one line. Returns the line to print.
    mutating func decide(_ text: String) throws -> String {
        let line: ReplayLine
        do {
            line = try ReplayLine(text)
        } catch {
            report.broken += 1
            return "{\"error\": \(ProblemDetails.quote(error.reason))}"
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

    /// A log has no bodies, so costs from them are their defaults; the memory store always answers at once.
    private func finish(_ step: LimitedRequest.Step, _ request: LimitedRequest) -> LimitedRequest.Verdict {
        switch step {
        case .verdict(let verdict): verdict
        case .needsBody: finish(request.resume(body: .none), request)
        case .pending, .needsLookup: .pass(delay: 0)
        }
    }

    /// Made at the first line, because warm-up counts from the start.
    private mutating func makeLimiter() throws -> RequestLimiter {
        if let limiter { return limiter }
        let limiter = try RequestLimiter(
            policy: loaded.policy, store: loaded.policy.makeMemoryStore(clock: clock), verifier: loaded.verifier,
            lookup: NobodyKnown(), clock: clock)
        // There is no upstream to ask, so what waits for one is taken as ready.
        for check in limiter.readinessChecks { check.warmUp.finish() }
        self.limiter = limiter
        return limiter
    }

    private mutating func hold(_ request: LimitedRequest, until end: Timestamp) {
        // A heap, earliest first.
        inFlight.append((end, request))
        var child = inFlight.count - 1
        while child > 0, inFlight[child].end < inFlight[(child - 1) / 2].end {
            inFlight.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Ends the requests whose time is over, each at its own instant.
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

/// A log is replayed without the server that knows the clients; a line says its `tier` itself.
private struct NobodyKnown: TierLookup {
    func look(up client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
        .decided(.unknown)
    }
}
