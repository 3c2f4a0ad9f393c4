-- Count the waiting jobs of tenants: of some at a time, so that other calls are not delayed by very many of them.
--
-- KEYS  1 prefix
-- ARGV  1 priority  2, 3 the first and the last place in the ring; '' and '' for the tenants that follow
-- Returns  the tenants, '' for jobs without one, each followed by how many of its jobs wait

local priority, found = ARGV[1], {}
local head = P .. KEY.pending_of .. priority .. ':'
local in_turn = ARGV[2] ~= '' and values_of('LRANGE', P .. KEY.ring .. priority, ARGV[2], ARGV[3])
for at, tenant in ipairs(in_turn or { unpack(ARGV, 4) }) do
  local length = redis.pcall('LLEN', tenant == '' and P .. KEY.pending .. priority or head .. tenant)
  -- A corrupt list is no list: then it is an error.
  found[2 * at - 1], found[2 * at] = tenant, type(length) == 'number' and length or 0
end
return found
