-- Read fields of many records in one call: a list's page looks at hundreds.
--
-- KEYS  1 prefix
-- ARGV  1 how many fields  then their names, then ids
-- Returns  the values of the fields of each record in turn; nil where it has none, or there is no such record
-- uses: base
local count = tonumber(ARGV[1])
local fields, values = {}, {}
for i = 1, count do
  fields[i] = ARGV[i + 1]
end

for i = count + 2, #ARGV do
  local found = redis.pcall('HMGET', P .. 'job:' .. ARGV[i], unpack(fields))
  for j = 1, count do
    values[#values + 1] = found[j] or false
  end
end
return values
