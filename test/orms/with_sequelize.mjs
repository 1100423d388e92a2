// Sequelize.
import { DataTypes, Sequelize } from 'sequelize'
import { checkCall, done, keyColumns, keyOf, needsUniqueIndex, worksUnchanged } from './lines.mjs'

const { PGDATABASE, PGHOST, PGUSER } = process.env
const sequelize = new Sequelize(PGDATABASE, PGUSER, '', { host: PGHOST, dialect: 'postgres', logging: false })

const Product = sequelize.define('product', {
  id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
  brand: DataTypes.TEXT,
  serial: DataTypes.TEXT,
  manufacturer: DataTypes.TEXT,
  stock: DataTypes.INTEGER,
}, { tableName: 'product', timestamps: false })

await worksUnchanged('`findOrCreate`', (key, stock) => Product.findOrCreate({ where: key, defaults: { stock } }))
await needsUniqueIndex('`upsert(…, { conflictFields })`', '42P10', (key, stock) =>
  Product.upsert({ ...key, stock }, { conflictFields: keyColumns }))
await needsUniqueIndex('`bulkCreate(…, { updateOnDuplicate, conflictAttributes })`', '42P10', (key, stock) =>
  Product.bulkCreate([{ ...key, stock }], { updateOnDuplicate: ['stock'], conflictAttributes: keyColumns }))
await needsUniqueIndex('`bulkCreate(…, { ignoreDuplicates })`', '23505', (key, stock) =>
  Product.bulkCreate([{ ...key, stock }], { ignoreDuplicates: true }))

const product = { ...keyOf('B-1'), stock: 12 }
const [[{ result }]] = await sequelize.query('SELECT product_upsert($1) AS result', { bind: [JSON.stringify(product)] })
checkCall(result)
await sequelize.close()
await done()
