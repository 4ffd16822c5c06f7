// An app needs one import: WeirHTTP has the policy and its limiter, Weir has rates and stores.
@_exported public import Weir
@_exported public import WeirHTTP
