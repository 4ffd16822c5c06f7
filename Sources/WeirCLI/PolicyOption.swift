import ArgumentParser
import WeirHTTP

/// The policy file, which every command takes as `--config`, `-c` or a bare argument.
struct PolicyOption: ParsableArguments {
    @Option(name: [.customLong("config"), .customShort("c")], help: "The policy file.")
    var config: String?

    /// The file's path.
    ///
    /// - Parameter argument: the bare argument; nil if there is none.
    func path(_ argument: String?) -> String { config ?? argument ?? "weir.yaml" }

    /// - Throws: an error if both are given.
    func check(_ argument: String?) throws {
        if config != nil, argument != nil {
            throw ValidationError("the policy file is given twice, as --config and as an argument")
        }
    }
}
