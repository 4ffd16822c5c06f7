/// Finds all patterns that a path matches.
///
/// A radix tree over bytes, with a branch for parameters: a search takes time by the path's length, not by the number
/// of patterns.
struct PathIndex: Sendable {
    private struct Node: Sendable {
        var label: [UInt8]
        /// Sorted by first byte, for a binary search.
        var children: [(byte: UInt8, node: Int)] = []
        var parameter: Int?
        /// The ids of exact patterns that end here.
        var exact: [Int] = []
        /// The ids of prefix patterns, whose `*` stands here.
        var prefix: [Int] = []
    }

    private var nodes = [Node(label: [])]

    mutating func insert(_ pattern: PathPattern, id: Int, ignoresCase: Bool = false) {
        var node = 0
        for part in pattern.parts {
            switch part {
            case .literal(let bytes):
                let bytes = ignoresCase ? bytes.map(\.asciiLowercased) : bytes
                node = descend(from: node, along: bytes[...])
            case .parameter:
                if let next = nodes[node].parameter {
                    node = next
                } else {
                    nodes.append(Node(label: []))
                    nodes[node].parameter = nodes.count - 1
                    node = nodes.count - 1
                }
            }
        }
        if pattern.isPrefix { nodes[node].prefix.append(id) } else { nodes[node].exact.append(id) }
    }

    /// Returns the node reached by `bytes`, and creates it if necessary.
    private mutating func descend(from node: Int, along bytes: ArraySlice<UInt8>) -> Int {
        guard let first = bytes.first else { return node }
        guard let place = nodes[node].children.firstIndex(where: { $0.byte == first }) else {
            nodes.append(Node(label: Array(bytes)))
            nodes[node].children.append((first, nodes.count - 1))
            nodes[node].children.sort { $0.byte < $1.byte }
            return nodes.count - 1
        }
        let child = nodes[node].children[place].node
        let label = nodes[child].label
        let common = zip(label, bytes).prefix { $0 == $1 }.count
        if common == label.count { return descend(from: child, along: bytes.dropFirst(common)) }
        // Split the label: a new node takes the common part, and the old node keeps the rest below it.
        nodes.append(Node(label: Array(label[..<common])))
        let middle = nodes.count - 1
        nodes[node].children[place].node = middle
        nodes[child].label = Array(label[common...])
        nodes[middle].children = [(label[common], child)]
        return descend(from: middle, along: bytes.dropFirst(common))
    }

    /// Calls `body` with the id of every pattern that matches, in no particular order.
    func forEachMatch(_ path: String, _ body: (Int) -> Void) {
        var path = path
        path.withUTF8 { utf8 in
            // Both patterns and paths get a trailing slash, so that one more or less makes no difference.
            let endsWithSlash = utf8.last == UInt8(ascii: "/")
            let count = utf8.count + (endsWithSlash ? 0 : 1)
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count) { bytes in
                _ = bytes.initialize(from: utf8)
                if !endsWithSlash { bytes.initializeElement(at: count - 1, to: UInt8(ascii: "/")) }
                walk(from: 0, along: UnsafeBufferPointer(bytes), at: 0, body)
            }
        }
    }

    /// Matches `path` from byte `start` against the subtree of a node.
    private func walk(
        from index: Int, along path: UnsafeBufferPointer<UInt8>, at start: Int, _ body: (Int) -> Void
    ) {
        var position = start
        for byte in nodes[index].label {
            guard position < path.count, path[position] == byte else { return }
            position += 1
        }
        for id in nodes[index].prefix { body(id) }
        guard position < path.count else {
            for id in nodes[index].exact { body(id) }
            return
        }
        if let child = child(of: index, path[position]) { walk(from: child, along: path, at: position, body) }
        if let parameter = nodes[index].parameter, path[position] != UInt8(ascii: "/") {
            var end = position
            while end < path.count, path[end] != UInt8(ascii: "/") { end += 1 }
            walk(from: parameter, along: path, at: end, body)
        }
    }

    private func child(of index: Int, _ byte: UInt8) -> Int? {
        var low = 0
        var high = nodes[index].children.count
        while low < high {
            let middle = (low + high) / 2
            if nodes[index].children[middle].byte < byte { low = middle + 1 } else { high = middle }
        }
        guard low < nodes[index].children.count, nodes[index].children[low].byte == byte else { return nil }
        return nodes[index].children[low].node
    }
}
