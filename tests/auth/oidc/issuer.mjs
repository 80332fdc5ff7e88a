// A certified OpenID provider (https://github.com/panva/node-oidc-provider) with our clients and two people.
// node issuer.mjs PORT KEYS.json: KEYS.json is a private JWK set, whose first key signs; SIGHUP has no meaning to it, so
// keys are rotated by starting it again with others.
import {readFileSync} from 'node:fs'
import Provider from 'oidc-provider'

const [port, keys] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
const audience = 'gofleet-api'
const scopes = ['orders:read', 'orders:write', 'drivers:read', 'drivers:write', 'operations']
const roles = {ana: ['customer'], dora: ['dispatcher'], 'shop': ['service']}

const provider = new Provider(issuer, {
  jwks: JSON.parse(readFileSync(keys, 'utf8')),
  clients: [
    {
      client_id: 'shop', client_secret: 'shop-secret', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [], token_endpoint_auth_method: 'client_secret_post',
    },
    {
      client_id: 'gofleet-cli', application_type: 'native', token_endpoint_auth_method: 'none',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code'], redirect_uris: [], response_types: [],
    },
    {
      client_id: 'web', application_type: 'native', token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code'], redirect_uris: ['http://127.0.0.1/callback'], response_types: ['code'],
    },
  ],
  scopes: ['openid', ...scopes],
  findAccount: (_, id) => ({accountId: id, claims: () => ({sub: id})}),
  extraTokenClaims: (_, token) => ({roles: roles[token.accountId ?? token.clientId] ?? []}),
  features: {
    clientCredentials: {enabled: true},
    deviceFlow: {enabled: true},
    devInteractions: {enabled: true},
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:gofleet-api',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: scopes.join(' '), audience, accessTokenTTL: 600, accessTokenFormat: 'jwt',
        jwt: {sign: {alg: 'RS256'}},
      }),
    },
  },
  pkce: {required: () => true},
  cookies: {keys: ['for tests only']},
  ttl: {AccessToken: 600, ClientCredentials: 600, DeviceCode: 60, Interaction: 60, Grant: 600, Session: 600, IdToken: 600},
})
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'))
