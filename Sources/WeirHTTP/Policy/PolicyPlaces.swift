/// The places of a policy's parts in its file, for later diagnostics.
struct PolicyPlaces {
    var listen: Place?
    var admin: Place?
    var certificates: [Place?] = []
    var limits: [Place?] = []
    var limitKeys: [Place?] = []
    var matches: [Place?] = []
    var access: [Place?] = []
    var exempt: [Place?] = []
    var client: [Place?] = []
}
