-- Read fields of many records in one call: a list's page reads hundreds.
--
-- KEYS  1 prefix
-- ARGV  1 how many fields  then their names, then ids
-- Returns  the values of the fields of each record in turn; nil where it has none, or there is no such record

local fields, values = {}, {}
for i = 1, tonumber(ARGV[1]) do
  fields[i] = ARGV[i + 1]
end

for i = #fields + 2, #ARGV do
  local found = redis.pcall('HMGET', P .. KEY.job .. ARGV[i], unpack(fields))
  for j = 1, #fields do
    values[#values + 1] = found[j] or false
  end
end
return values
