import ArgumentParser
import Foundation
import WeirHTTP
import WeirReplay
import WeirServer

struct Replay: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Try a policy on a log: see who would have been limited, when, and by which limit.",
        discussion: """
            Requests are decided by the same code as in `weir serve`, at the times in the log. A report goes to standard \
            error. With --decisions, standard output gets one line of JSON for each line of the log. docs/replay.md \
            describes the log. The exit code is 1 if nothing in it could be read.
            """
    )

    @OptionGroup var option: PolicyOption

    @Option(help: .hidden)
    var policy: String?

    @Option(help: "The log's format: jsonl is one JSON object per line.")
    var format = Format.jsonl

    @Flag(help: "Print each decision as a line of JSON.")
    var decisions = false

    @Argument(help: "The policy file, without --config, and the log file, or - for standard input.")
    var files: [String] = []

    enum Format: String, ExpressibleByArgument, CaseIterable { case jsonl }

    func validate() throws {
        guard files.count <= (option.config == nil && policy == nil ? 2 : 1) else {
            throw ValidationError("there are too many files: give a policy and a log")
        }
        if files.count == 1, files[0].hasSuffix(".yaml") || files[0].hasSuffix(".yml") {
            throw ValidationError("no log was given: write 'weir replay \(files[0]) LOG', or - for standard input")
        }
    }

    func run() async throws {
        let policy = option.config ?? policy ?? (files.count > 1 ? files[0] : "weir.yaml")
        let log = files.last ?? "-"
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
        var replayer = Replayer(loaded.policy, verifier: loaded.verifier, clock: clock)
        var progress = ReplayProgress()
        while let line = readLine(strippingNewline: true) {
            let answer = try replayer.decide(line)
            if decisions { print(answer) }
            progress.step()
        }
        progress.end()
        complain(replayer.report.description)
        if !replayer.report.hasLines {
            complain("nothing could be read; docs/replay.md describes the log")
            throw ExitCode.failure
        }
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
