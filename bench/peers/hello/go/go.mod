module aiofiber/hello

go 1.19
