import ArgumentParser
import Foundation

@main
struct WeirCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir",
        abstract: "Rate limiting for HTTP APIs.",
        discussion: """
            Exit codes: 0 for success, 1 when something failed, 2 when a policy has errors, 64 for a wrong command line.
            """,
        version: "0.1.0",
        subcommands: [Serve.self, Demo.self, Init.self, Validate.self, Replay.self]
    )
}

/// What a command ends with when a policy has errors.
let policyErrorCode = ExitCode(2)

/// Writes lines to standard error.
func complain(_ message: String) {
    FileHandle.standardError.write(Data((message + "\n").utf8))
}
