-- Find the records whose fields contain texts, so that a page that filters by them reads few records.
--
-- KEYS  1 prefix
-- ARGV  1 how many texts  then for each: field, text, '1' to ignore the case of ASCII letters; then ids
-- Returns  for each id 1 if all texts are in it, otherwise 0

local last = 1 + 3 * tonumber(ARGV[1]) -- the last argument that says what is searched

local function contains(id)
  for i = 2, last, 3 do
    local value = redis.pcall('HGET', P .. KEY.job .. id, ARGV[i])
    -- A corrupt record has none: it is false, or a table with an error.
    if type(value) ~= 'string' then
      return 0
    end
    if ARGV[i + 2] == '1' then
      value = string.lower(value)
    end
    if not string.find(value, ARGV[i + 1], 1, true) then
      return 0
    end
  end
  return 1
end

local found = {}
for i = last + 1, #ARGV do
  found[#found + 1] = contains(ARGV[i])
end
return found
