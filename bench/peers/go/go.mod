module aiofiber/race

go 1.19
