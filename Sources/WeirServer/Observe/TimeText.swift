import Weir

/// An instant as text: `2026-11-27T12:30:00.125Z` (RFC 3339, to the millisecond).
enum TimeText {
    /// - Parameter time: microseconds since the Unix epoch.
    static func text(of time: Timestamp) -> String {
        let (days, rest) = time.quotientAndRemainder(flooringBy: 86_400_000_000)
        let (year, month, day) = civil(days)
        let milliseconds = rest / 1000
        let seconds = milliseconds / 1000
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(padded(seconds / 3600, 2)):"
            + "\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2)).\(padded(milliseconds % 1000, 3))Z"
    }

    /// The instant as HTTP writes it: `Fri, 27 Nov 2026 12:30:00 GMT` (RFC 9110, 5.6.7).
    ///
    /// - Parameter time: microseconds since the Unix epoch.
    static func httpDate(of time: Timestamp) -> String {
        let (days, rest) = time.quotientAndRemainder(flooringBy: 86_400_000_000)
        let (year, month, day) = civil(days)
        let seconds = rest / 1_000_000
        // The epoch was a Thursday.
        let weekday = weekdays[Int((days + 4).quotientAndRemainder(flooringBy: 7).remainder)]
        return
            "\(weekday), \(padded(day, 2)) \(months[Int(month) - 1]) \(padded(year, 4)) \(padded(seconds / 3600, 2)):"
            + "\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2)) GMT"
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Converts days since the epoch to a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013).
    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (days + 719_468).quotientAndRemainder(flooringBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return text.count >= width ? text : String(repeating: "0", count: width - text.count) + text
    }
}

extension Int64 {
    /// The quotient rounded down, and the remainder, which is not negative. The divisor is above 0.
    fileprivate func quotientAndRemainder(flooringBy divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
