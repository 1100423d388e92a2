// product_upsert as a GraphQL mutation, by PostGraphile:
//
//     mutation ($payload: JSON!) { upsertProduct(input: { payload: $payload }) { json } }
//
// The payload and the result are JSON in a string; in the result, numbers are what JavaScript makes of them. Started like
// rest.js, it answers POST /graphql.
import { createServer } from 'node:http'
import { postgraphile } from 'postgraphile'

const server = createServer(
    postgraphile({}, 'api', { extendedErrors: ['errcode', 'detail', 'hint'], disableQueryLog: true })
)
server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
