/// Where the parts of a policy stand, for what is said about them later.
struct PolicyPlaces {
    var limits: [Place?] = []
    var limitKeys: [Place?] = []
    var matches: [Place?] = []
    var access: [Place?] = []
    var exempt: [Place?] = []
    var client: [Place?] = []
}
