-- Retry dead letters: same id and history, attempts from zero.
--
-- failed -> pending
--
-- KEYS  1 prefix
-- ARGV  ids
-- Returns  how many were redriven

local redriven = 0
allow_when_full()

for i = 1, #ARGV do
  if redis.call('ZSCORE', P .. KEY.failed, ARGV[i]) and revive(ARGV[i]) then
    redriven = redriven + 1
  end
end

if redriven > 0 then
  ensure_next()
end
write_counts()
return redriven
