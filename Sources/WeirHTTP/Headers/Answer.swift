/// Weir's own answer, ready to send: a status, header fields without framing, and a body.
package struct Answer: Sendable {
    /// What is answered.
    package var problem: ProblemDetails
    /// The fields' names and values.
    package var fields: [(String, String)] = []
    /// The body's text, which may be empty.
    package var body: String

    package var status: Int { problem.status }
}

extension LimitedRequest {
    /// The answer for a problem, with the limit headers and the headers that let a cross-origin page read it.
    package func answer(_ problem: ProblemDetails) -> Answer {
        var answer = Answer(problem: problem, body: limiter.policy.headers.sendsProblemDetails ? problem.json : "")
        answer.fields.reserveCapacity(12)
        if !answer.body.isEmpty { answer.fields.append(("Content-Type", ProblemDetails.mediaType)) }
        writeHeaders { answer.fields.append(($0, $1)) }
        writeCrossOriginHeaders { answer.fields.append(($0, $1)) }
        return answer
    }

    /// Writes the headers that let a cross-origin page read Weir's own answer.
    ///
    /// - Parameter add: called with each header's name and value.
    public func writeCrossOriginHeaders(to add: (String, String) -> Void) {
        guard let origin else { return }
        let settings = limiter.policy.headers
        if let allowed = limiter.policy.crossOrigin {
            guard allowed.origins.contains(origin.lowercased()) else { return add("Vary", "Origin") }
            if allowed.credentials { add("Access-Control-Allow-Credentials", "true") }
        }
        add("Access-Control-Allow-Origin", origin)
        add("Vary", "Origin")
        add(
            "Access-Control-Expose-Headers",
            "Retry-After, \(settings.rateLimitName), \(settings.rateLimitPolicyName), \(settings.limitName), "
                + "\(settings.remainingName), \(settings.resetName)")
    }
}
