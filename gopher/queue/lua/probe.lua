-- Tell a batch in which states jobs are that have not ended as far as it knows: what they told is delivered before. A job
-- without a record was never stored, or it was deleted by something that does not know batches.
--
-- KEYS  1 prefix
-- ARGV  1 queue of the batch  2 its id  then ids of jobs
-- Returns  how many have ended, or do not exist

allow_when_full()
local told = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local fields, corrupt = read_record(id, 'state', 'rounds')
  local state = fields[1]
  if not corrupt and (not state or ENDED[state]) then
    local round = tonumber(fields[2]) or 0
    if round == 0 and DEAD[state] then
      -- A process of an earlier version has ended it.
      round = redis.call('HINCRBY', P .. KEY.job .. id, 'rounds', 1)
    end
    post(ARGV[1], 'batch', ARGV[2], id, state or UNSTORED, round, now)
    told = told + 1
  end
end
return told
