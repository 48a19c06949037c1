@echo off
rem Make everything that Rumi needs, inside WSL 2: its packs need Linux containers and Unix sockets.
setlocal
cd /d "%~dp0"
where wsl >nul 2>nul
if errorlevel 1 (
    echo problem: Rumi runs on Linux; on Windows that is WSL 2, which is not installed. 1>&2
    echo    mend: wsl --install    ^(then restart Windows and start setup.bat again^) 1>&2
    exit /b 1
)
wsl --exec sh -c "uname -r" 2>nul | findstr /i "microsoft" >nul
if errorlevel 1 (
    echo problem: WSL is installed but no Linux starts in it. 1>&2
    echo    mend: wsl --install -d Debian 1>&2
    exit /b 1
)
wsl --cd "%~dp0." --exec python3 bootstrap.py setup %*
exit /b %errorlevel%
