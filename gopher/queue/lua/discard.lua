-- Delete dead letters permanently.
--
-- failed -> -
--
-- KEYS  1 prefix
-- ARGV  ids
-- Returns  how many were deleted

local discarded = 0
for i = 1, #ARGV do
  if remove_dead_letter(ARGV[i]) then
    redis.call('DEL', P .. KEY.job .. ARGV[i])
    discarded = discarded + 1
  end
end
if discarded > 0 then
  redis.call('HINCRBY', P .. KEY.totals, COUNTER.discarded, discarded)
end
return discarded
