/// The numbers at the top of a JSON object, as they are written.
package struct JSONNumbers {
    private var values: [String: String] = [:]

    /// Why they can't be read. Fit to be shown.
    package struct Unreadable: Error {
        package let reason: String
    }

    /// - Parameter names: members that are numbers, or not there, or null.
    package init(_ text: String, _ names: [String]) throws(Unreadable) {
        let bytes = Array(text.utf8)
        for name in names {
            guard let pointer = JSONPointer("/" + name),
                let finding = try? bytes.withUnsafeBytes({ try JSONProbe.find(pointer, in: $0) })
            else { throw Unreadable(reason: "the line is not a JSON object, or has '\(name)' twice") }
            switch finding {
            case .absent, .null: continue
            case .number(let text): values[name] = text
            case .length, .boolean: throw Unreadable(reason: "'\(name)' must be a number")
            }
        }
    }

    package subscript(name: String) -> String? { values[name] }
}
