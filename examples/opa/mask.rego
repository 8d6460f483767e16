# For OPA's decision log: removes raw tokens, and adds the fields that delegraph reads instead.
# Load it with the policies (OPA uses data.system.log.mask by default). Without it the log contains every bearer token.
package system.log

import rego.v1

claims := io.jwt.decode(input.input.token)[1]

mask contains "/input/token" if input.input.token

# The token's id, which everyone who has the token computes alike: <iss>#<jti>.
mask contains {"op": "upsert", "path": "/input/token_id", "value": id} if {
	id := sprintf("%s#%s", [claims.iss, claims.jti])
}

# The subject and the actors (RFC 8693). No other claim.
mask contains {"op": "upsert", "path": "/input/token_claims", "value": parties} if {
	parties := object.filter(claims, {"iss", "jti", "sub", "act", "client_id", "azp"})
}
