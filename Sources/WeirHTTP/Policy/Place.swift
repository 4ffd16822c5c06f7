import Yams

/// A place in a file. Lines and columns count from 1.
struct Place: Sendable {
    var line: Int
    var column: Int
}

extension Node {
    /// The node's place in the file.
    var place: Place? { mark.map { Place(line: $0.line, column: $0.column) } }
}
