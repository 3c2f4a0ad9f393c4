-- Note in a job's record that it was copied: the ids of its latest copies.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 id of the copy
-- Returns  OK, MISSING

local SHOWN = 20 -- copies
local record = P .. KEY.job .. ARGV[1]
local fields = read_record(ARGV[1], 'state', 'copies')
if not fields[1] then
  return 'MISSING'
end
local copies = split(fields[2])
if copies[#copies] ~= ARGV[2] then
  copies[#copies + 1] = ARGV[2]
  redis.call('HSET', record, 'copies', table.concat(copies, ',', math.max(#copies - SHOWN + 1, 1)))
end
return 'OK'
