// A server of the standard (node-oidc-provider): PKCE demanded, refresh tokens rotated, a spent one ends the grant.
// Arguments: path of the library, redirect URI. Prints its address, and lives until its standard input ends.
// Everybody who comes is logged in as anna, who agrees to everything.
import http from 'node:http'

const [library, redirectUri] = process.argv.slice(2)
const { Provider } = await import(library)

const server = http.createServer()
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${server.address().port}`

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'tributary',
      client_secret: 'a-secret-of-the-standard-server',
      redirect_uris: [redirectUri],
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_post',
    },
  ],
  features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
  pkce: { methods: ['S256'], required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: { AccessToken: 3, AuthorizationCode: 60, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 60, IdToken: 60 },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  loadExistingGrant: async ctx => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    })
    grant.addOIDCScope('openid offline_access')
    await grant.save()
    return grant
  },
  cookies: { keys: ['a key of this test'] },
})

const answer = provider.callback()
server.on('request', (request, response) => {
  if (request.url.startsWith('/interaction/')) {
    provider.interactionFinished(request, response, { login: { accountId: 'anna' }, consent: {} })
  } else {
    answer(request, response)
  }
})
console.log(issuer)
process.stdin.on('end', () => process.exit(0)).resume()
