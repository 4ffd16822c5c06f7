import ArgumentParser
import Foundation

struct WeirCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir",
        abstract: "Rate limiting for HTTP APIs.",
        discussion: """
            Exit codes: 0 for success, 1 for a failure, 2 for a policy with errors, 64 for an invalid command line.
            """,
        version: "0.1.0",
        subcommands: [Serve.self, Demo.self, Init.self, Validate.self, Replay.self]
    )
}

@main
enum Main {
    static func main() async {
        StandardStreams.openMissing()
        await WeirCommand.main()
    }
}

/// The exit code of a command whose policy has errors.
let policyErrorCode = ExitCode(2)

/// Writes a message and a line feed to standard error.
func complain(_ message: String) {
    FileHandle.standardError.write(Data((message + "\n").utf8))
}
