/// Numeric members of a JSON object, as they are written.
///
/// A decoder would read them as `Double`, and lose digits.
package struct JSONNumbers {
    private var values: [String: String] = [:]

    /// Reads the object's members of the given names.
    ///
    /// - Parameters:
    ///   - text: the object.
    ///   - names: the members to read. Each must be a number, null or absent.
    ///   - texts: those of them that may be of another type, too. They are left out then.
    /// - Throws: ``JSONNumbersError`` if the text isn't an object, or a member is of a different type or given twice.
    package init(_ text: String, _ names: [String], texts: Set<String> = []) throws(JSONNumbersError) {
        let bytes = Array(text.utf8)
        for name in names {
            guard let pointer = JSONPointer("/" + name),
                let finding = try? bytes.withUnsafeBytes({ try JSONProbe.find(pointer, in: $0) })
            else { throw JSONNumbersError("the line is not a JSON object, or has '\(name)' twice") }
            switch finding {
            case .absent, .null: continue
            case .number(let text): values[name] = text
            case .length where texts.contains(name): continue
            case .length, .boolean: throw JSONNumbersError("'\(name)' must be a number")
            }
        }
    }

    /// The digits of a member; nil if it is null or absent.
    package subscript(name: String) -> String? { values[name] }
}
